-- Records in the history at which times the trading values were simulated.
SELECT 1 AS trading_simulated
