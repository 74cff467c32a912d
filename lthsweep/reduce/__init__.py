"""The reducer: records → one table, and questions to it. A pure function of the files on disk; torch-free."""
