"""The roof: builds every part and runs them together; it alone knows them all."""
