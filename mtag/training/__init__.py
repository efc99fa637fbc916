"""Networks, corpora, fitting and export; everything here needs the extra `train` (torch)."""
