"""One module per kind of raw data; `corpus.NAME.sources.*.reader` names it."""
