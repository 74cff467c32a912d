"""Running a plan: one scheduling loop, pools of workers, and the worker itself. Only what trains imports torch."""
