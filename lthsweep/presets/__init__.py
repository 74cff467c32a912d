"""One TOML file per study; `lthsweep presets` lists them and `lthsweep.spec.preset_text` reads them."""
