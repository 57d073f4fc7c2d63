-- title: How far it is proven
-- question: How many records of each day lie in logs that are verified, pending, modified and so on?
SELECT date, integrity, count(*) AS records, count(DISTINCT object) AS logs
FROM cloudtrail
GROUP BY 1, 2
ORDER BY date, integrity;
