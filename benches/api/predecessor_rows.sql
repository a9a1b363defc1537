-- The rows of the customers in `seeded`: ten servers and a hundred operations each.
INSERT INTO "User" SELECT customer, 'customer-' || number || '@example.com', 'Customer-' || number, 'unused', 'Ada',
    'Example', 'Customer ' || number, 'customer', now(), now() FROM seeded;
INSERT INTO "ContainerInstance" SELECT 5000 + number * 10 + place, customer, 'game', 'mc-paper-' || number || '-' || place,
    '127.0.0.1', '{"game": [25565]}', jsonb_build_object('game', 'minecraft', 'variant', 'paper', 'version', '1.21.1',
    'world', 'world', 'name', 'Server ' || number, 'memory', 4096, 'ports', jsonb_build_array(25565), 'proxy',
    jsonb_build_object('registered', true, 'pingOk', true, 'address', '127.0.0.1:25565', 'at', now())),
    'running', now(), 0, now(), now() FROM seeded, generate_series(0, 9) place;
INSERT INTO "EdgeState" SELECT "vmid", "hostname" || '.play.example.com', "ip", '203.0.113.7' FROM "ContainerInstance";
INSERT INTO "ProvisioningOperation" SELECT CASE place WHEN 0 THEN operation ELSE operation || '-' || place END, customer,
    'succeeded', 'publish_edge', now(), (SELECT jsonb_build_object('request', jsonb_build_object('game', 'minecraft'),
    'steps', jsonb_agg(jsonb_build_object('name', 'step ' || step, 'status', 'done', 'at', now())))
    FROM generate_series(1, 9) step), now(), now() FROM seeded, generate_series(0, 99) place;
ANALYZE;
