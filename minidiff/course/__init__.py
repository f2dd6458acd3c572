"""The exercises of the course: what is asked, how an answer is judged, and which mistake it is. The notebooks hold the solutions."""

from minidiff.course.check import Verdict, check, verdict
from minidiff.course.exercise import Exercise
from minidiff.course.table import EXERCISES, find
from minidiff.course.workspace import progress

__all__ = ["EXERCISES", "Exercise", "Verdict", "check", "find", "progress", "verdict"]
