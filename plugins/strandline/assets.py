"""The map of the data: every asset, in flow order."""

from airflow.sdk import Asset

PREDICTIONS = Asset("predictions", uri="strandline://ledger/predictions")
LABELS = Asset("labels", uri="strandline://ledger/labels")
RETRAINING = Asset("retraining", uri="strandline://ledger/retraining")  # updated if drift asks for it
CHALLENGERS = Asset("challengers", uri="strandline://ledger/challengers")  # registered by retrain_model
