"""Compares anyone's recurrent layer with the float64 equations; see docs/certify.md."""

from kerasdl.certification.certificate import QUANTITIES, Certificate, Row, certify
from kerasdl.certification.layouts import Layout

__all__ = ["QUANTITIES", "Certificate", "Layout", "Row", "certify"]
