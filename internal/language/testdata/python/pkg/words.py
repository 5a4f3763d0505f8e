W = "words"
