"""Reads delimited text and parquet, and says where a value is wrong."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import polars as pl


class DataError(ValueError):
    """Bad input. The message names the file, the line, the value and what is allowed."""


@dataclass(frozen=True)
class Table:
    """One source file as a frame, with enough kept to turn a row number into a line number.

    ``frame`` holds strings when it came from text, typed columns when it came from parquet.
    """

    path: Path
    frame: pl.DataFrame
    text: str | None = field(default=None, repr=False)  # None for parquet, which has no lines
    separator: str = ","
    quoting: int = csv.QUOTE_MINIMAL
    header_rows: int = 1

    def fail(self, row: int, problem: str) -> NoReturn:
        """Raise ``DataError`` for a 0-based data row."""
        raise DataError(f"{self.path}, {self.place(row)}: {problem}")

    def place(self, row: int) -> str:
        """Name a 0-based data row as the reader finds it: a 1-based line, or a parquet row."""
        if self.text is None:
            return f"row {row + 1}"
        # Blank lines and quoted line breaks shift lines against rows; only an error pays for this.
        reader = csv.reader(
            io.StringIO(self.text, newline=""), delimiter=self.separator, quoting=self.quoting
        )
        wanted = row + self.header_rows
        seen, start = -1, 1
        for fields in reader:
            seen += any(fields)
            if any(fields) and seen == wanted:
                break
            start = reader.line_num + 1
        return f"line {start}"

    def require(self, columns: Sequence[str]) -> None:
        """Raise ``DataError`` unless every one of ``columns`` is there."""
        missing = [column for column in columns if column not in self.frame.columns]
        if missing:
            raise DataError(
                f"{self.path}, line 1: column {missing[0]!r} is missing; "
                f"needed are {', '.join(columns)}; found {', '.join(self.frame.columns)}"
            )

    def filled(self, column: str) -> pl.Series:
        """The column as stripped strings; an empty value raises ``DataError``."""
        values = self.frame[column].cast(pl.String).str.strip_chars()
        empty = values.is_null() | (values == "")
        if empty.any():
            self.fail(empty.arg_max(), f"{column} is empty; every row needs one")
        return values.alias(column)

    def ids(self, column: str) -> pl.Series:
        """As ``filled``; a value given twice raises ``DataError`` too."""
        values = self.filled(column)
        repeated = ~values.is_first_distinct()
        if repeated.any():
            row = repeated.arg_max()
            self.fail(row, f"{column} {values[row]!r} is given twice; allowed is one row each")
        return values

    def number(self, column: str, dtype: type[pl.DataType], allowed: str) -> pl.Series:
        """The column as finite numbers of ``dtype``; anything else raises ``DataError``.

        A fraction in an integer column is cut off (some sources write timestamps as floats), and
        a date and time becomes seconds since 1970.
        """
        values = self.frame[column]
        if values.dtype == pl.String:
            values = values.str.strip_chars()
        elif values.dtype in (pl.Date, pl.Datetime):
            values = values.dt.epoch("s")
        numbers = values.cast(pl.Float64, strict=False)
        result = numbers.cast(dtype, strict=False)
        bad = ~numbers.is_finite().fill_null(False) | result.is_null()
        if bad.any():
            row = bad.arg_max()
            self.fail(row, f"{column} {self.frame[column][row]!r} is not allowed; use {allowed}")
        return result.alias(column)


def read_text(
    path: Path,
    *,
    separator: str = ",",
    columns: Sequence[str] | None = None,
    quoting: int = csv.QUOTE_MINIMAL,
    encodings: Sequence[str] = ("utf-8-sig",),
) -> Table:
    """Read a delimited text file as strings.

    Args:
        path: the file.
        separator: what stands between fields; more than one character is allowed.
        columns: names for a file without header line; None reads them from the first line.
        quoting: ``csv.QUOTE_MINIMAL`` (the csv rule) or ``csv.QUOTE_NONE``.
        encodings: tried in order.

    Raises:
        DataError: the file is empty, not in the encoding, or a line has too many fields.
    """
    text = _decode(path, encodings)
    if len(separator) > 1:
        text, separator = text.replace(separator, "\t"), "\t"
    try:
        frame = pl.read_csv(
            io.BytesIO(text.encode()),
            separator=separator,
            has_header=columns is None,
            infer_schema=False,
            quote_char=None if quoting == csv.QUOTE_NONE else '"',
        )
    except pl.exceptions.NoDataError:
        frame = pl.DataFrame()
    except pl.exceptions.ComputeError as error:
        raise _ragged_line(path, text, separator, quoting) or error from error
    if frame.width and frame[:, 0].has_nulls():  # blank lines
        frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    if frame.is_empty():
        raise DataError(f"{path}, line 1: the file is empty; at least one row of data is needed")
    if columns is not None:
        if frame.width != len(columns):
            raise DataError(
                f"{path}, line 1: {frame.width} fields; needed are {len(columns)}: "
                f"{', '.join(columns)}"
            )
        frame.columns = list(columns)
    return Table(path, frame, text, separator, quoting, header_rows=int(columns is None))


def read_parquet(path: Path) -> Table:
    """Read a parquet file.

    Raises:
        DataError: the file is not parquet, cut short, or has no rows.
    """
    try:
        frame = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: not a complete parquet file ({error})") from error
    if frame.is_empty():
        raise DataError(f"{path}, row 1: the file is empty; at least one row of data is needed")
    return Table(path, frame)


def _decode(path: Path, encodings: Sequence[str]) -> str:
    raw = path.read_bytes()
    for encoding in encodings:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError as error:
            line, value = raw.count(b"\n", 0, error.start) + 1, raw[error.start]
    raise DataError(
        f"{path}, line {line}: byte 0x{value:02x} is not {encoding.removesuffix('-sig').upper()}; "
        "save the file as UTF-8"
    )


def _ragged_line(path: Path, text: str, separator: str, quoting: int) -> DataError | None:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quoting=quoting)
    width = 0
    for fields in reader:
        width = width or len(fields)
        if len(fields) > width:
            extra = fields[width]
            return DataError(
                f"{path}, line {reader.line_num}: {len(fields)} fields, the first too many is "
                f"{extra!r}; every line may have {width}"
            )
    return None
