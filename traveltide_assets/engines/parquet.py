"""How DuckDB writes the files of the lake, whichever engine has computed their rows."""

from __future__ import annotations

# The lowest level is as fast as Snappy, and on these tables as small as higher levels. To try a
# dictionary of many values took a tenth of the time. Pages of version 2 are smaller, but Spark 4.0
# cannot read their encoding of floats.
OPTIONS = {"compression": "zstd", "compression_level": 1, "dictionary_size_limit": 1000}
