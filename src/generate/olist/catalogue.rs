//! What is sold, by whom, and where buyers live: products, sellers, categories, towns.
//!
//! Names and weights are ours. Limits: at most 32,951 products and 3,095 sellers (the real numbers), held in memory;
//! fewer where fewer orders are made. Names of categories are ours too, none is a row of the real table.

use super::measured::{PRICE_CENTS, ZONES};
use super::stream;
use crate::generate::random::{Random, id};

const PRODUCTS_MAX: u64 = 32_951;
const SELLERS_MAX: u64 = 3_095;
/// 9,999.00, just under the highest price a record may carry.
const PRICE_MAX_CENTS: i64 = 999_900;

/// A category of products.
#[derive(Clone, Copy, Debug)]
pub struct Category {
    /// As products name it.
    pub name: &'static str,
    /// Its English name; empty where the translation table lacks it, as it does for some.
    pub english: &'static str,
    weight: u32,
    /// Price level, in per cent of the whole shop's.
    price_percent: i64,
}

const fn category(name: &'static str, english: &'static str, weight: u32, price_percent: i64) -> Category {
    Category { name, english, weight, price_percent }
}

/// Every category, the frequent ones first.
pub static CATEGORIES: [Category; 32] = [
    category("cama_e_banho", "bed_and_bath", 97, 105),
    category("saude_e_cosmeticos", "health_and_cosmetics", 87, 105),
    category("esportes", "sports", 79, 105),
    category("decoracao_do_lar", "home_decor", 77, 80),
    category("acessorios_de_informatica", "computer_accessories", 70, 107),
    category("utensilios_domesticos", "household_utensils", 64, 75),
    category("relogios_e_joias", "watches_and_jewellery", 55, 140),
    category("telefones_celulares", "mobile_phones", 42, 40),
    category("ferramentas_e_jardim", "tools_and_garden", 40, 80),
    category("carros_e_motos", "cars_and_motorcycles", 39, 110),
    category("jogos_e_brinquedos", "games_and_toys", 38, 113),
    category("ideias_para_presente", "gift_ideas", 35, 140),
    category("perfumes", "fragrances", 32, 113),
    category("bebes_e_criancas", "babies_and_children", 28, 107),
    category("eletronicos_e_cabos", "electronics_and_cables", 26, 35),
    category("papel_e_escritorio", "paper_and_office", 24, 105),
    category("bolsas_e_mochilas", "bags_and_backpacks", 20, 70),
    category("animais_de_estimacao", "pets", 19, 93),
    category("moveis_para_escritorio", "office_chairs_and_desks", 17, 160),
    category("videogames", "video_games", 11, 92),
    category("malas_de_viagem", "travel_bags", 11, 133),
    category("material_de_construcao", "building_materials", 9, 145),
    category("pequenos_eletrodomesticos", "small_kitchen_machines", 8, 139),
    category("instrumentos_e_partituras", "instruments_and_scores", 7, 150),
    category("grandes_eletrodomesticos", "large_home_machines", 6, 200),
    category("livros_e_revistas", "books_and_magazines", 6, 72),
    category("comidas", "groceries", 5, 67),
    category("sapatos", "shoes", 5, 100),
    category("chapeus", "hats", 4, 60),
    category("computadores_de_mesa", "desktop_computers", 2, 500),
    category("flores_e_plantas", "flowers_and_plants", 1, 50),
    category("artesanato_regional", "", 3, 70),
];

/// Products without a category, of 100,000.
const WITHOUT_CATEGORY: u64 = 1_900;

/// A town where buyers and sellers live.
#[derive(Clone, Copy, Debug)]
pub struct Town {
    /// Lower case, without accents.
    pub name: &'static str,
    /// The state's two letters.
    pub state: &'static str,
    /// First of its postal prefixes.
    pub first_prefix: u32,
    /// 0 .. [`ZONES`].
    pub zone: usize,
    weight: u32,
}

const fn town(name: &'static str, state: &'static str, first_prefix: u32, zone: usize, weight: u32) -> Town {
    assert!(zone < ZONES);
    Town { name, state, first_prefix, zone, weight }
}

/// How many of [`TOWNS`] lie in São Paulo; they come first.
const SAO_PAULO_TOWNS: usize = 10;

/// The towns: weights add up to the states' shares of orders.
static TOWNS: [Town; 36] = [
    town("sao paulo", "SP", 1_000, 0, 156),
    town("guarulhos", "SP", 7_000, 0, 24),
    town("campinas", "SP", 13_010, 0, 36),
    town("sao bernardo do campo", "SP", 9_600, 0, 30),
    town("santo andre", "SP", 9_010, 0, 28),
    town("santos", "SP", 11_010, 0, 30),
    town("ribeirao preto", "SP", 14_010, 0, 32),
    town("sorocaba", "SP", 18_010, 0, 30),
    town("sao jose dos campos", "SP", 12_210, 0, 30),
    town("bauru", "SP", 17_010, 0, 21),
    town("rio de janeiro", "RJ", 20_010, 1, 90),
    town("niteroi", "RJ", 24_020, 1, 22),
    town("nova iguacu", "RJ", 26_210, 1, 17),
    town("belo horizonte", "MG", 30_110, 1, 60),
    town("juiz de fora", "MG", 36_010, 1, 30),
    town("uberlandia", "MG", 38_400, 1, 26),
    town("porto alegre", "RS", 90_010, 1, 32),
    town("caxias do sul", "RS", 95_010, 1, 23),
    town("curitiba", "PR", 80_010, 1, 35),
    town("londrina", "PR", 86_010, 1, 15),
    town("florianopolis", "SC", 88_010, 1, 22),
    town("joinville", "SC", 89_200, 1, 15),
    town("brasilia", "DF", 70_040, 1, 21),
    town("vitoria", "ES", 29_010, 1, 20),
    town("salvador", "BA", 40_010, 2, 24),
    town("feira de santana", "BA", 44_001, 2, 10),
    town("goiania", "GO", 74_010, 2, 20),
    town("recife", "PE", 50_010, 2, 17),
    town("fortaleza", "CE", 60_010, 2, 13),
    town("belem", "PA", 66_010, 2, 10),
    town("cuiaba", "MT", 78_005, 2, 9),
    town("sao luis", "MA", 65_010, 2, 8),
    town("campo grande", "MS", 79_002, 2, 7),
    town("natal", "RN", 59_010, 2, 12),
    town("maceio", "AL", 57_010, 2, 9),
    town("manaus", "AM", 69_005, 2, 8),
];

/// A town and a postal prefix in it.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The town.
    pub town: &'static Town,
    /// The first five digits of the postal code.
    pub prefix: u32,
}

impl Place {
    /// Draws where a buyer lives.
    pub fn of_buyer(random: &mut Random) -> Self {
        Place::in_town(random.weighted_by(&TOWNS, |town| town.weight), random)
    }

    /// Draws where a seller sits: more of them than of the buyers in São Paulo.
    fn of_seller(random: &mut Random) -> Self {
        let place = Place::of_buyer(random);
        if place.town.zone != 0 && random.chance(33_000) {
            return Place::in_town(random.below(SAO_PAULO_TOWNS as u64) as usize, random);
        }
        place
    }

    fn in_town(index: usize, random: &mut Random) -> Self {
        let town = &TOWNS[index];
        Place { town, prefix: town.first_prefix + random.below(180) as u32 }
    }
}

/// A product as items need it.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Its id.
    pub id: u128,
    /// Its category, if it has one.
    pub category: Option<&'static Category>,
    /// Who sells it.
    pub seller: usize,
    /// Its usual price.
    pub price_cents: u64,
}

/// A seller.
#[derive(Clone, Copy, Debug)]
pub struct Seller {
    /// Its id.
    pub id: u128,
    /// Where it sits.
    pub place: Place,
}

/// Everything that can be bought. Its size is bounded.
#[derive(Debug)]
pub struct Catalogue {
    /// The products, often bought ones first.
    pub products: Vec<Product>,
    /// The sellers, busy ones first.
    pub sellers: Vec<Seller>,
}

impl Catalogue {
    /// A catalogue fit for `count` orders: a third as many products, one seller for 32 orders, within the limits.
    pub fn new(count: u64, seed: u64) -> Self {
        let products = (count / 3).clamp(30, PRODUCTS_MAX);
        let sellers = (count / 32).clamp(10, SELLERS_MAX);
        Catalogue {
            products: (0..products).map(|index| Product::of(seed, index, sellers)).collect(),
            sellers: (0..sellers).map(|index| Seller::of(seed, index)).collect(),
        }
    }

    /// Draws a product, those often bought more often.
    pub fn product(&self, random: &mut Random) -> &Product {
        &self.products[random.skewed_below(self.products.len() as u64) as usize]
    }
}

impl Product {
    fn of(seed: u64, index: u64, sellers: u64) -> Self {
        let random = &mut Random::of(seed, stream::PRODUCT, index);
        let category = match random.chance(WITHOUT_CATEGORY) {
            true => None,
            false => Some(&CATEGORIES[random.weighted_by(&CATEGORIES, |category| category.weight)]),
        };
        let level_percent = category.map_or(100, |category| category.price_percent);
        let price_cents = (PRICE_CENTS.sample(random) * level_percent / 100).clamp(100, PRICE_MAX_CENTS) as u64;
        Product {
            id: id(seed, stream::PRODUCT_ID, index),
            category,
            seller: random.skewed_below(sellers) as usize,
            price_cents: with_usual_ending(price_cents, random),
        }
    }
}

/// Most prices end in .90, .00 or .99.
fn with_usual_ending(price_cents: u64, random: &mut Random) -> u64 {
    let whole = price_cents - price_cents % 100;
    match random.below(100) {
        0..36 => whole + 90,
        36..64 => whole,
        64..83 => whole + 99,
        _ => price_cents,
    }
}

impl Seller {
    fn of(seed: u64, index: u64) -> Self {
        let place = Place::of_seller(&mut Random::of(seed, stream::SELLER, index));
        Seller { id: id(seed, stream::SELLER_ID, index), place }
    }
}
