"""Readers of catalogue sources: one file a format, records or row errors out, a row at a time."""
