"""The stages of a round: each reads, calls, writes and summarizes. They meet in the store, not in imports."""
