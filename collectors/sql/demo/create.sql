-- The documented schema of a trading platform, filled with simulated users.
CREATE SCHEMA trading_demo;
COMMENT ON SCHEMA trading_demo IS
    'Simulated by `vigia demo`: the data are not real. `vigia demo --drop` removes the schema.';

CREATE TABLE trading_demo.users (
    id         bigint PRIMARY KEY,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE trading_demo.users IS 'Simulated users.';

CREATE TABLE trading_demo.positions (
    id          bigint PRIMARY KEY,
    user_id     bigint NOT NULL REFERENCES trading_demo.users,
    symbol      text NOT NULL,
    side        text NOT NULL CHECK (side IN ('long', 'short')),
    quantity    numeric NOT NULL,
    entry_price numeric NOT NULL,
    opened_at   timestamptz NOT NULL,
    closed_at   timestamptz
);
COMMENT ON TABLE trading_demo.positions IS 'Simulated positions; closed_at is null while a position is open.';
CREATE INDEX ON trading_demo.positions (user_id) WHERE closed_at IS NULL;
CREATE INDEX ON trading_demo.positions (closed_at);

CREATE TABLE trading_demo.trades (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id     bigint NOT NULL REFERENCES trading_demo.users,
    symbol      text NOT NULL,
    side        text NOT NULL CHECK (side IN ('buy', 'sell')),
    quantity    numeric NOT NULL,
    price       numeric NOT NULL,
    pnl         numeric,
    executed_at timestamptz NOT NULL
);
COMMENT ON TABLE trading_demo.trades IS 'Simulated trades; pnl (USD) is null for a trade that opens a position.';
CREATE INDEX ON trading_demo.trades (executed_at);

INSERT INTO trading_demo.users (id, name)
SELECT id, 'demo-' || lpad(id::text, 3, '0') FROM generate_series(1, 200) AS id;
