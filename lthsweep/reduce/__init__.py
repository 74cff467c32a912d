"""The reducer: records → one table, and questions to it. A pure function of what is on disk; torch-free."""
