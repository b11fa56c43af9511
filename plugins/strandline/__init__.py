"""Strandline: what DAG files, pages and the verbs of `make` call.

In the order of the flow:

    ingest       drop -> entries -> shards -> validation -> predictions -> closed books
    labels       what images show in truth
    drift        what changed, for people to read and machines to act on
    training     what a challenger learns from
    parity       whether a version answers as well, whatever computes it
    promotion    gate, approval, promotion, monitoring, roll back
    replay       a past window again, compared row by row
    serving      the ledger's side of answers over HTTP: who may ask, what was answered, what became of the pictures

These never import each other. Below them, which all may use:

    models       versions, bundles, datasets
    stats        estimates, paired tests, calibration, multiplicity
    html         what pages share

    attempts, tables, scan, ledger, periods, settings, errors      the ground

Below the ground is `strandline_contract`, which the vision container shares. Beside them `operators` (with `assets` and
`door`) is all that knows Airflow. `dags/` wires them through each package's `tasks`.
"""
