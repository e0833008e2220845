"""Sound, as arrays and files: spectra, inversion, joins, levels, formats. Knows no model."""
