-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Inserting, indexing, joining, grouping, updating.
CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER, amount INTEGER, note TEXT);
CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000)
	INSERT INTO orders SELECT i, i * 7919 % 5003, i * 104729 % 9973, 'order ' || (i * 31) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5003)
	INSERT INTO customers SELECT i, printf('customer %05d', i * 613 % 5003) FROM n;
CREATE INDEX by_customer ON orders(customer);
CREATE INDEX by_note ON orders(note);
SELECT count(*), sum(o.amount), max(c.name) FROM orders o JOIN customers c ON c.id = o.customer
	WHERE o.amount > 500;
SELECT c.name, sum(o.amount) AS total FROM customers c JOIN orders o ON o.customer = c.id
	GROUP BY c.id ORDER BY total DESC, c.name LIMIT 5;
UPDATE orders SET amount = amount + 1, note = upper(note) WHERE customer % 3 = 0;
SELECT count(*) FROM orders WHERE note LIKE 'ORDER %77%';
DELETE FROM orders WHERE amount % 5 = 0;
SELECT count(*), sum(length(note)), sum(amount) FROM orders;
