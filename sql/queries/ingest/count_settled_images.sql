SELECT verdict, count(*)::integer AS images FROM settled_images WHERE turn = 1 GROUP BY verdict
