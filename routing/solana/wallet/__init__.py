"""The wallet: who signs, and what is checked before anything is signed."""
