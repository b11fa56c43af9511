-- The champion's history; `until` is null of the one in use.
CREATE VIEW reporting.champions AS
SELECT version, name AS model, lower(period) AS since, upper(period) AS until, promoted_by, reason, cause, gate_id, run_id
FROM champions
JOIN model_versions USING (version);

-- What challengers showed, and what people answered: `decision` is null while nobody has.
CREATE VIEW reporting.gates AS
SELECT gate_id, challenger, challengers.name AS challenger_model, champion, champions.name AS champion_model,
       outcome, sentence, gates.requested_by, approvers, answer_by, made_at, folder,
       decision, approver, approvals.reason, decided_at
FROM gates
JOIN model_versions AS challengers ON challengers.version = challenger
JOIN model_versions AS champions ON champions.version = champion
LEFT JOIN approvals USING (gate_id);
