-- Marks in the history, for ever, when the values of trading were simulated.
SELECT 1 AS trading_simulated
