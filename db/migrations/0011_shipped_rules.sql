-- A rule that was shipped once and then deleted stays deleted.

CREATE TABLE shipped_rules (
    name text PRIMARY KEY
);
COMMENT ON TABLE shipped_rules IS 'Rules that came with the program, each inserted once; what people make of them afterwards stays.';
COMMENT ON COLUMN shipped_rules.name IS 'Name that the rule came with.';
INSERT INTO shipped_rules (name) SELECT name FROM alert_rules;
