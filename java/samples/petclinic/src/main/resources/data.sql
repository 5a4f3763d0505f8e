insert into vets (id, name, specialty) values (1, 'James Carter', null), (2, 'Helen Leary', 'radiology'), (3, 'Linda Douglas', 'surgery');
insert into owners (id, first_name, last_name, city, telephone) values
  (1, 'George', 'Franklin', 'Madison', '6085551023'),
  (2, 'Betty', 'Davis', 'Sun Prairie', '6085551749'),
  (3, 'Harold', 'Davis', 'Windsor', '6085553198');
insert into pets (id, name, kind, born, owner_id) values
  (1, 'Leo', 'CAT', '2020-09-07', 1), (2, 'Basil', 'HAMSTER', '2022-08-06', 2), (3, 'Iggy', 'LIZARD', '2020-11-30', 3), (4, 'Rosy', 'DOG', '2021-04-17', 3);
insert into visits (id, visit_day, description, pet_id) values (1, '2024-01-01', 'rabies shot', 4), (2, '2024-03-04', 'neutered', 4);
alter table owners alter column id restart with 100;
alter table visits alter column id restart with 100;
