"""Run a plan: a scheduling loop, pools of workers, and the worker. Only modules that train import torch."""
