module_words = { ... }
