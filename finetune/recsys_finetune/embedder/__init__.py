"""The sample embedder: a bag of hashed subwords, trained on questions and products, run by ONNX Runtime."""
