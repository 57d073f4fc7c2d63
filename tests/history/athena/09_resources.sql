-- Which resources were touched how often: one row for each entry of the array.
SELECT
  unnested.resources_entry.type AS type,
  unnested.resources_entry.arn AS arn,
  count(*) AS events,
  count(DISTINCT eventname) AS names
FROM cloudtrail_logs t
CROSS JOIN UNNEST(t.resources) unnested (resources_entry)
WHERE unnested.resources_entry.arn LIKE 'arn:aws:%'
GROUP BY unnested.resources_entry.type, unnested.resources_entry.arn
ORDER BY events DESC, type, arn
LIMIT 50;
