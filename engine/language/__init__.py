"""The language: a lifecycle file read, every mistake in it told, and its reference and schema written."""
