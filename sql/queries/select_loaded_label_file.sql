SELECT file_id FROM label_files WHERE sha256 = %(sha256)s AND state = 'loaded'
