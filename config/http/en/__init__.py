"""How pages in English write times. Django looks for it here (`FORMAT_MODULE_PATH`)."""
