-- Of the images that people were asked about in so many days.
SELECT count(*) AS asked, count(*) FILTER (WHERE said) AS answered
FROM (
    SELECT EXISTS (SELECT FROM reporting.image_words WHERE image_words.image_id = asked.image_id) AS said
    FROM reporting.asked
    WHERE chosen_at > now() - make_interval(days => %(days)s)
) AS images
