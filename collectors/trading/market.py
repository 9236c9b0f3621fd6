"""A simulated market that advances by seconds. The same seed gives the same day."""

import math
from itertools import count
from random import Random

from msgspec import Struct

USERS = 200
USERS_USUAL = 20.0
"""The mean of the exponential distribution of user ids: low ids trade often, high ids rarely."""
POSITIONS_USUAL = 60
OPEN_CHANCE = 0.25
"""The probability that a position opens in a second. While `POSITIONS_USUAL` are open, a position
closes with the same probability."""
MOVE = 0.0002
"""The standard deviation of a price's relative change in a second."""
WORTH_USD = (100.0, 5000.0)
START_PRICES = {
    "BTC/USD": 60_000.0,
    "ETH/USD": 3_000.0,
    "SOL/USD": 150.0,
    "BNB/USD": 500.0,
    "XRP/USD": 0.5,
}
PRICE_DIGITS, QUANTITY_DIGITS, MONEY_DIGITS = 4, 6, 2


class Position(Struct):
    """A position of a user in a symbol, in USD. `closed_s` is None while it is open."""

    id: int
    user_id: int
    symbol: str
    is_long: bool
    quantity: float
    entry_price: float
    opened_s: int
    closed_s: int | None = None
    exit_price: float = 0.0

    def pnl_at(self, price: float) -> float:
        gain = self.quantity * (price - self.entry_price)
        return round(gain if self.is_long else -gain, MONEY_DIGITS)


class Tick(Struct):
    """The positions that opened and closed in one second."""

    opened: list[Position]
    closed: list[Position]


class Market:
    """Prices that follow a random walk, and users who trade. `second` counts the passed seconds."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 (a simulation, not a secret)
        self._ids = count(1)
        self._prices = dict(START_PRICES)
        self._open: list[Position] = []
        self.second = 0

    def tick(self) -> Tick:
        """Advance by one second."""
        self.second += 1
        for symbol in self._prices:
            self._prices[symbol] *= math.exp(self._random.gauss(0, MOVE))
        opened = [self._open_one()] if self._random.random() < OPEN_CHANCE else []
        close_chance = OPEN_CHANCE * len(self._open) / POSITIONS_USUAL
        closed = [self._close_one()] if self._random.random() < close_chance else []
        return Tick(opened, closed)

    def _open_one(self) -> Position:
        symbol = self._random.choice(list(self._prices))
        price = self._price(symbol)
        position = Position(
            id=next(self._ids),
            user_id=1 + int(self._random.expovariate(1 / USERS_USUAL)) % USERS,
            symbol=symbol,
            is_long=self._random.random() < 0.5,  # noqa: PLR2004 (a fair coin)
            quantity=round(self._random.uniform(*WORTH_USD) / price, QUANTITY_DIGITS),
            entry_price=price,
            opened_s=self.second,
        )
        self._open.append(position)
        return position

    def _close_one(self) -> Position:
        """Close the more profitable of two positions: users take profits sooner than losses."""
        candidates = self._random.choices(self._open, k=2)
        best = max(candidates, key=lambda each: each.pnl_at(self._price(each.symbol)))
        self._open.remove(best)
        best.closed_s, best.exit_price = self.second, self._price(best.symbol)
        return best

    def _price(self, symbol: str) -> float:
        return round(self._prices[symbol], PRICE_DIGITS)
