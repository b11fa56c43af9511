-- A report a row; `latest` marks the one that no other replaces. `most_changed` are images by their ids; there are none in
-- reports that were made before they were noted.
CREATE VIEW reporting.drift AS
SELECT report_id, window_start, window_end, model_versions.name AS model, model_version,
       action, sentence, held_back, live, images, compared, labelled,
       (report #>> '{drift,label_shift,distance,value}')::double precision AS label_shift_distance,
       (report #>> '{drift,label_shift,distance,low}')::double precision AS label_shift_distance_low,
       (report #>> '{drift,label_shift,distance,high}')::double precision AS label_shift_distance_high,
       (report #>> '{drift,label_shift,p_value}')::double precision AS label_shift_p_value,
       (report #>> '{drift,embedding_drift,distance}')::double precision AS embedding_drift_distance,
       (report #>> '{drift,embedding_drift,p_value}')::double precision AS embedding_drift_p_value,
       (report #>> '{drift,estimated,expected}')::double precision AS expected_accuracy,
       (report #>> '{drift,estimated,estimate,value}')::double precision AS estimated_accuracy,
       (report #>> '{drift,estimated,estimate,low}')::double precision AS estimated_accuracy_low,
       (report #>> '{drift,estimated,estimate,high}')::double precision AS estimated_accuracy_high,
       (report #>> '{drift,realized,estimate,value}')::double precision AS realized_accuracy,
       (report #>> '{drift,realized,estimate,low}')::double precision AS realized_accuracy_low,
       (report #>> '{drift,realized,estimate,high}')::double precision AS realized_accuracy_high,
       (report #>> '{verdict,label_shift}')::boolean AS label_shift,
       (report #>> '{verdict,embedding_drift}')::boolean AS embedding_drift,
       (report #>> '{verdict,accuracy_fell}')::boolean AS accuracy_fell,
       coalesce((report #>> '{verdict,enough}')::boolean, false) AS enough,
       (report #>> '{drift,alpha}')::double precision AS alpha,
       NOT EXISTS (SELECT FROM drift_reports AS later WHERE later.replaces = drift_reports.report_id) AS latest,
       replaces, folder, made_at,
       (report #>> '{drift,duplicates}')::integer AS near_duplicates,
       coalesce(report -> 'most_changed', '[]') AS most_changed,
       run_id
FROM drift_reports
JOIN model_versions ON version = model_version;
