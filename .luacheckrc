std = "lua51"
read_globals = { "redis", "cjson", "cmsgpack", "struct", "bit", "KEYS", "ARGV" }
max_line_length = 120
exclude_files = { "**/node_modules", "**/dist", ".cache", ".stryker-tmp" }
