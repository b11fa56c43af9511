SELECT source, labeller, images, compared, agreed, agreement, low, high
FROM reporting.labellers
ORDER BY images DESC, labeller
LIMIT %(limit)s
