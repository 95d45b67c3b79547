"""`gxt demo`: a repository to play in, with runs of real models on made-up taxi trips.

Importing it imports pandas, scikit-learn and matplotlib.
"""

from gxt.demo.project import files
from gxt.demo.training import record_demo_runs

__all__ = ["files", "record_demo_runs"]
