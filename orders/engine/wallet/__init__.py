"""The wallet as the database knows it: its limits, what it holds, and its history compared."""
