"""What becomes of a command when a call that writes fails: see `tests.faults.__main__`."""
