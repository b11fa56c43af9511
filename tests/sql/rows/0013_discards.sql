-- A person has looked at the file that is no image.
SELECT discard('ann', 'discarded', 'a note', '{"entries": [4]}', '{4}');
