-- The verdicts on the windows around one, by the same version; and the report that replaced it, if one did.
SELECT (
           SELECT report_id
           FROM reporting.drift AS earlier
           WHERE earlier.model_version = this.model_version AND earlier.window_end <= this.window_end
             AND earlier.window_start < this.window_start AND latest
           ORDER BY window_end DESC, report_id DESC
           LIMIT 1
       ) AS before,
       (
           SELECT report_id
           FROM reporting.drift AS later
           WHERE later.model_version = this.model_version AND later.window_end > this.window_end
             AND later.window_start >= this.window_start AND latest
           ORDER BY window_end, report_id
           LIMIT 1
       ) AS after,
       (SELECT min(report_id) FROM reporting.drift AS newer WHERE newer.replaces = this.report_id) AS replaced_by
FROM reporting.drift AS this
WHERE this.report_id = %(report_id)s
