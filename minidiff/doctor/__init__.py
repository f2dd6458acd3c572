"""The doctor: a ladder of measurements that names the most likely defect of a diffusion model, with its evidence and a page to read."""

from minidiff.doctor.ladder import examine
from minidiff.doctor.patient import Averaged, Guidance, Patient
from minidiff.doctor.report import PAGES, Finding, Report

__all__ = ["PAGES", "Averaged", "Finding", "Guidance", "Patient", "Report", "examine"]
