"""Keys and values of a running batch: one rectangle a layer, rows by positions, that rows join and leave.

Row r holds its positions 0 … length - 1 in the first columns. What lies beyond is masked, and finite: a masked weight
of 0 times NaN would be NaN. A later shape (pages, fixed widths for CUDA graphs) changes this file only.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicLayer

ROWS_STEP, WIDTH_STEP = 8, 64  # what a rectangle grows by, so that not every request moves it
SPARE = 4  # how many times too large it may be


class RowsLayer(CacheLayerMixin):
    """K and V of one layer, (rows, heads, positions, head size)."""

    keys: Tensor
    values: Tensor

    def __init__(self, batch: "KeyValues") -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # transformers annotates only some
        self.batch = batch

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.keys = key_states.new_zeros(0, key_states.shape[1], 0, key_states.shape[3])
        self.values = value_states.new_zeros(0, value_states.shape[1], 0, value_states.shape[3])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Writes one position a row; gives all that were written, and what is masked between them."""
        rows_B, at_B, width = self.batch.rows_B, self.batch.lengths_B, self.batch.seen
        self.keys[rows_B, :, at_B] = key_states[:, :, 0]
        self.values[rows_B, :, at_B] = value_states[:, :, 0]
        rows = rows_B.shape[0]
        return self.keys[:rows, :, :width], self.values[:rows, :, :width]

    def reserve(self, used: int, rows: int, width: int) -> None:
        """Room for so many, with the first `used` rows kept; what has become far too large is given back."""
        have_rows, have_width = self.keys.shape[0], self.keys.shape[2]
        fits = rows <= have_rows and width <= have_width
        if fits and have_rows * have_width <= SPARE * rows * width:
            return
        self.keys, self.values = (resized(old, used, rows, width) for old in (self.keys, self.values))

    def put(self, rows: slice, keys_HTD: Tensor, values_HTD: Tensor) -> None:
        """The same past for each of `rows`; nothing of who sat there before is left."""
        length = keys_HTD.shape[1]
        for mine, theirs in ((self.keys, keys_HTD), (self.values, values_HTD)):
            mine[rows, :, :length] = theirs
            mine[rows, :, length:] = 0

    def fill(self, past: DynamicLayer, pads_P: Tensor, copies: int, width: int) -> None:
        """Every row at once: what `past` holds from each one's first real column on, `copies` times."""
        for name, theirs_PHTD in (("keys", past.keys), ("values", past.values)):
            assert theirs_PHTD is not None  # noqa: S101 — the prompts were read into it
            prompts, heads, length, size = theirs_PHTD.shape
            columns_PT = (torch.arange(length, device=pads_P.device) + pads_P[:, None]).clamp(max=length - 1)
            shifted_PHTD = theirs_PHTD.gather(2, columns_PT[:, None, :, None].expand(-1, heads, -1, size))
            mine_BHWD = theirs_PHTD.new_zeros(prompts * copies, heads, width, size)
            mine_BHWD[:, :, :length] = shifted_PHTD.repeat_interleave(copies, 0)
            setattr(self, name, mine_BHWD)
        self.is_initialized = True

    def move(self, source: int, target: int) -> None:
        self.keys[target], self.values[target] = self.keys[source], self.values[source]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.batch.seen, 0

    def get_seq_length(self) -> int:
        return self.batch.seen - 1

    def get_max_length(self) -> int:
        return -1


class KeyValues:
    """The past of B rows in every layer."""

    def __init__(self, layers: int, device: torch.device) -> None:
        self.device = device
        self.layers = [RowsLayer(self) for _ in range(layers)]
        self.cache = Cache(layers=list(self.layers))
        self.lengths: list[int] = []  # positions of each row
        self.rows_B = self.lengths_B = torch.empty(0, dtype=torch.long, device=device)

    @property
    def seen(self) -> int:
        """Columns that the next step looks at."""
        return max(self.lengths) + 1

    def allowed(self) -> Tensor:
        """allowed_B1TW for the next step: a row sees what it wrote, and its new token."""
        columns_W = torch.arange(self.seen, device=self.device)
        return (columns_W <= self.lengths_B[:, None])[:, None, None]

    def append(self, past: Cache, row: int, skipped: int, copies: int, width: int) -> None:
        """`copies` new rows, each with the past that `past` holds in its `row` from column `skipped` on.

        width: positions that the widest row may come to hold. When memory runs out, nothing has changed.
        """
        used = len(self.lengths)
        room = (rounded(used + copies, ROWS_STEP), rounded(width, WIDTH_STEP))
        length = 0
        for mine, theirs in zip(self.layers, past.layers, strict=True):
            assert isinstance(theirs, DynamicLayer)  # noqa: S101 — `prefill` made it
            keys_PHTD, values_PHTD = theirs.keys, theirs.values
            assert keys_PHTD is not None and values_PHTD is not None  # noqa: S101 — and filled it
            keys_HTD, values_HTD = keys_PHTD[row, :, skipped:], values_PHTD[row, :, skipped:]
            length = keys_HTD.shape[1]
            if not mine.is_initialized:
                mine.lazy_initialization(keys_PHTD, values_PHTD)
            mine.reserve(used, *room)
            mine.put(slice(used, used + copies), keys_HTD, values_HTD)
        self.lengths += [length] * copies
        self._place()

    def start(self, past: Cache, pads: Sequence[int], copies: int, room: int) -> None:
        """A batch whose rows all begin together: `copies` for each prompt in `past`, those of the first one first.

        pads: columns of padding before each prompt. room: positions that a row may add.
        """
        width = past.get_seq_length()
        pads_P = torch.tensor(pads, dtype=torch.long, device=self.device)
        for mine, theirs in zip(self.layers, past.layers, strict=True):
            assert isinstance(theirs, DynamicLayer)  # noqa: S101 — `prefill` made it
            mine.fill(theirs, pads_P, copies, width + room)
        self.lengths = [width - pad for pad in pads for _ in range(copies)]
        self._place()

    def remove(self, rows: Sequence[int]) -> list[int]:
        """Lets rows go. The last ones take their places; returns who is where now, by former row."""
        order = list(range(len(self.lengths)))
        for row in sorted(rows, reverse=True):
            last = len(order) - 1
            if row != last:
                for layer in self.layers:
                    layer.move(last, row)
                order[row], self.lengths[row] = order[last], self.lengths[last]
            order.pop()
            self.lengths.pop()
        self._place()
        return order

    def advance(self) -> None:
        """Every row has one position more."""
        self.lengths = [length + 1 for length in self.lengths]
        self.lengths_B = self.lengths_B + 1

    def _place(self) -> None:
        self.rows_B = torch.arange(len(self.lengths), device=self.device)
        self.lengths_B = torch.tensor(self.lengths, dtype=torch.long, device=self.device)


def rounded(size: int, step: int) -> int:
    return -(-size // step) * step


def resized(old_SHWD: Tensor, used: int, rows: int, width: int) -> Tensor:
    _, heads, columns, size = old_SHWD.shape
    columns = min(columns, width)
    new_SHWD = old_SHWD.new_zeros(rows, heads, width, size)
    new_SHWD[:used, :, :columns] = old_SHWD[:used, :, :columns]
    return new_SHWD
