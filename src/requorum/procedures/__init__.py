"""The steps that carry a verdict out, as plain values, with barriers between phases. Pure."""
