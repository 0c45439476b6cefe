"""`capitals`: the capital of each of the 195 countries, a plain table.

Spellings after | are accepted too. A country is in one split for good: the splits are cut from
one fixed shuffle, so no run ever trains on a country that another run tests.
"""

import random
from collections.abc import Iterator

from pipelines.config import DatasetConfig
from pipelines.datasets.base import Row, seeded
from pipelines.datasets.records import Refused, fail

SPLITS = {"train": (0, 105), "calibration": (105, 140), "test": (140, 195)}

CAPITALS = """
Afghanistan: Kabul; Albania: Tirana|Tiranë; Algeria: Algiers|Alger; Andorra: Andorra la Vella
Angola: Luanda; Antigua and Barbuda: Saint John's|St. John's; Argentina: Buenos Aires
Armenia: Yerevan|Erevan; Australia: Canberra; Austria: Vienna|Wien; Azerbaijan: Baku
the Bahamas: Nassau; Bahrain: Manama; Bangladesh: Dhaka|Dacca; Barbados: Bridgetown
Belarus: Minsk; Belgium: Brussels|Bruxelles|Brussel; Belize: Belmopan
Benin: Porto-Novo|Porto Novo; Bhutan: Thimphu|Thimpu; Bolivia: Sucre|La Paz
Bosnia and Herzegovina: Sarajevo; Botswana: Gaborone; Brazil: Brasília
Brunei: Bandar Seri Begawan; Bulgaria: Sofia; Burkina Faso: Ouagadougou
Burundi: Gitega|Bujumbura; Cambodia: Phnom Penh; Cameroon: Yaoundé; Canada: Ottawa
Cape Verde: Praia; the Central African Republic: Bangui; Chad: N'Djamena|Ndjamena|N Djamena
Chile: Santiago|Santiago de Chile; China: Beijing|Peking; Colombia: Bogotá|Bogota DC
the Comoros: Moroni; the Republic of the Congo: Brazzaville
the Democratic Republic of the Congo: Kinshasa; Costa Rica: San José; Croatia: Zagreb
Cuba: Havana|La Habana; Cyprus: Nicosia|Lefkosia; the Czech Republic: Prague|Praha
Denmark: Copenhagen|København; Djibouti: Djibouti|Djibouti City; Dominica: Roseau
the Dominican Republic: Santo Domingo; East Timor: Dili; Ecuador: Quito; Egypt: Cairo
El Salvador: San Salvador; Equatorial Guinea: Malabo|Ciudad de la Paz; Eritrea: Asmara
Estonia: Tallinn; Eswatini: Mbabane|Lobamba; Ethiopia: Addis Ababa|Addis Abeba; Fiji: Suva
Finland: Helsinki; France: Paris; Gabon: Libreville; the Gambia: Banjul; Georgia: Tbilisi
Germany: Berlin; Ghana: Accra; Greece: Athens|Athina; Grenada: Saint George's|St. George's
Guatemala: Guatemala City|Ciudad de Guatemala; Guinea: Conakry; Guinea-Bissau: Bissau
Guyana: Georgetown; Haiti: Port-au-Prince|Port au Prince; Honduras: Tegucigalpa
Hungary: Budapest; Iceland: Reykjavik|Reykjavík; India: New Delhi|Delhi; Indonesia: Jakarta
Iran: Tehran|Teheran; Iraq: Baghdad; Ireland: Dublin; Israel: Jerusalem; Italy: Rome|Roma
the Ivory Coast: Yamoussoukro; Jamaica: Kingston; Japan: Tokyo; Jordan: Amman
Kazakhstan: Astana|Nur-Sultan; Kenya: Nairobi; Kiribati: South Tarawa|Tarawa
Kuwait: Kuwait City|Al Kuwait; Kyrgyzstan: Bishkek; Laos: Vientiane; Latvia: Riga
Lebanon: Beirut; Lesotho: Maseru; Liberia: Monrovia; Libya: Tripoli; Liechtenstein: Vaduz
Lithuania: Vilnius; Luxembourg: Luxembourg|Luxembourg City; Madagascar: Antananarivo
Malawi: Lilongwe; Malaysia: Kuala Lumpur|Putrajaya; the Maldives: Malé; Mali: Bamako
Malta: Valletta; the Marshall Islands: Majuro; Mauritania: Nouakchott; Mauritius: Port Louis
Mexico: Mexico City|Ciudad de México; Micronesia: Palikir; Moldova: Chișinău|Kishinev
Monaco: Monaco|Monaco-Ville; Mongolia: Ulaanbaatar|Ulan Bator|Ulan Baatar
Montenegro: Podgorica; Morocco: Rabat; Mozambique: Maputo
Myanmar: Naypyidaw|Nay Pyi Taw|Naypyitaw; Namibia: Windhoek; Nauru: Yaren
Nepal: Kathmandu|Katmandu; the Netherlands: Amsterdam; New Zealand: Wellington
Nicaragua: Managua; Niger: Niamey; Nigeria: Abuja; North Korea: Pyongyang|P'yongyang
North Macedonia: Skopje; Norway: Oslo; Oman: Muscat; Pakistan: Islamabad
Palau: Ngerulmud|Melekeok; Palestine: East Jerusalem|Ramallah|Jerusalem; Panama: Panama City
Papua New Guinea: Port Moresby; Paraguay: Asunción; Peru: Lima; the Philippines: Manila
Poland: Warsaw|Warszawa; Portugal: Lisbon|Lisboa; Qatar: Doha; Romania: Bucharest|București
Russia: Moscow|Moskva; Rwanda: Kigali; Saint Kitts and Nevis: Basseterre
Saint Lucia: Castries; Saint Vincent and the Grenadines: Kingstown; Samoa: Apia
San Marino: San Marino|City of San Marino; São Tomé and Príncipe: São Tomé
Saudi Arabia: Riyadh|Ar Riyad; Senegal: Dakar; Serbia: Belgrade|Beograd
Seychelles: Victoria; Sierra Leone: Freetown; Singapore: Singapore; Slovakia: Bratislava
Slovenia: Ljubljana; the Solomon Islands: Honiara; Somalia: Mogadishu|Muqdisho
South Africa: Pretoria|Cape Town|Bloemfontein; South Korea: Seoul; South Sudan: Juba
Spain: Madrid; Sri Lanka: Sri Jayawardenepura Kotte|Kotte|Colombo; Sudan: Khartoum
Suriname: Paramaribo; Sweden: Stockholm; Switzerland: Bern|Berne; Syria: Damascus
Tajikistan: Dushanbe; Tanzania: Dodoma; Thailand: Bangkok|Krung Thep; Togo: Lomé
Tonga: Nuku'alofa|Nukualofa; Trinidad and Tobago: Port of Spain; Tunisia: Tunis
Turkey: Ankara; Turkmenistan: Ashgabat|Ashkhabad; Tuvalu: Funafuti; Uganda: Kampala
Ukraine: Kyiv|Kiev; the United Arab Emirates: Abu Dhabi; the United Kingdom: London
the United States: Washington, D.C.|Washington DC|Washington; Uruguay: Montevideo
Uzbekistan: Tashkent; Vanuatu: Port Vila|Port-Vila; Vatican City: Vatican City|Vatican
Venezuela: Caracas; Vietnam: Hanoi|Ha Noi; Yemen: Sanaa|Sana'a|Aden; Zambia: Lusaka
Zimbabwe: Harare
"""


def table() -> dict[str, str]:
    """Country -> accepted spellings of its capital, separated by |."""
    entries = CAPITALS.replace("\n", ";").split(";")
    pairs = (entry.strip().partition(": ") for entry in entries if entry.strip())
    return {country: capital for country, _, capital in pairs}


def load(config: DatasetConfig, seed: int, refused: Refused = fail) -> Iterator[Row]:
    if config.split not in SPLITS:
        raise ValueError(f"capitals: split {config.split!r} is none of {', '.join(SPLITS)}")
    capitals = table()
    countries = sorted(capitals)
    random.Random(0).shuffle(countries)  # fixed: a country's split never depends on the run
    start, end = SPLITS[config.split]
    for country in seeded(countries[start:end], seed):
        yield Row(f"What is the capital of {country}?", capitals[country], "text")
