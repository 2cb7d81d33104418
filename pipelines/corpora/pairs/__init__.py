"""One module per layout of preference data; `preferences.NAME.source.kind` names it."""
