SELECT label_feedback(%(patience)s) AS decided
