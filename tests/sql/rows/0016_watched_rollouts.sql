-- A version that consumers were pinned to had lost its bundle.
INSERT INTO offered_bundles (version, problem) SELECT min(version), 'model.onnx is not there' FROM model_versions;
