print("loading")
raise ValueError("at import")
