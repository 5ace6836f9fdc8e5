//! Distributions measured on a part of the real Olist data: aggregates only, rounded to three digits; no row of it is
//! here, for its licence forbids that. Shares of statuses, item counts and months follow the figures published for the
//! whole of it (99,441 orders). Irregularities that are rarer there than one in a thousand orders are made more
//! frequent, so that a small directory shows them too; each says so.

use crate::generate::random::Quantiles;

/// Zones of freight and delivery: São Paulo, the rest of south and south-east with Brasília, everywhere else.
pub const ZONES: usize = 3;

/// Orders a month from September 2016 on; the last four months of 2016 are smoothed, the real ones are nearly empty.
/// November 2017 is without its Black Friday, which `calendar` adds.
pub const MONTH_ORDERS: [u64; 24] = [
    150, 324, 400, 500, 800, 1_780, 2_682, 2_404, 3_700, 3_245, 4_026, 4_331, 4_285, 4_631, 6_700, 5_673, 7_269, 6_728,
    7_211, 6_939, 6_873, 6_167, 6_292, 6_512,
];
/// Weight of each weekday, Monday first.
pub const WEEKDAY_WEIGHT: [u64; 7] = [164, 157, 151, 151, 148, 110, 118];
/// Weight of each hour of the day.
pub const HOUR_WEIGHT: [u64; 24] =
    [25, 12, 5, 3, 2, 2, 5, 11, 31, 49, 61, 69, 58, 68, 62, 66, 66, 60, 56, 59, 64, 65, 59, 41];

/// Orders by status, of 100,000; the order is that of `Status`.
pub const STATUS_WEIGHT: [u32; 8] = [97_000, 1_100, 620, 600, 310, 300, 40, 30];
/// Orders with 1, 2, 3 … item rows.
pub const ITEM_COUNT_WEIGHT: [u32; 12] = [90_000, 7_600, 1_350, 510, 210, 200, 25, 10, 5, 10, 10, 5];
/// Orders by their main type of payment, which is one of the first that there are; the order is that of `PaymentType`.
pub const PAYMENT_TYPE_WEIGHT: [u32; 4] = [754, 199, 34, 13];
/// Credit card orders with 1, 2, 3, 4 payment rows.
pub const CARD_PAYMENTS_WEIGHT: [u32; 4] = [9_605, 355, 30, 10];
/// Voucher orders with 1, 2, 3 … payment rows.
pub const VOUCHER_PAYMENTS_WEIGHT: [u32; 12] = [840, 80, 30, 20, 12, 6, 4, 3, 2, 1, 1, 1];
/// Credit card payments in 1, 2, 3 … installments.
pub const INSTALLMENTS_WEIGHT: [u32; 24] =
    [4_740, 2_320, 2_020, 1_400, 1_030, 740, 330, 760, 140, 1_120, 1, 26, 4, 4, 12, 1, 3, 5, 0, 3, 0, 0, 1, 3];

/// Seconds from purchase to approval, paid by credit card.
pub const APPROVAL_CREDIT_CARD_S: Quantiles = Quantiles([
    0, 0, 0, 417, 481, 559, 616, 662, 702, 742, 825, 931, 1_100, 1_450, 1_990, 3_520, 8_790, 72_300, 87_800, 155_000,
    205_000, 267_000, 468_000, 1_100_000,
]);
/// Seconds from purchase to approval, paid by boleto.
pub const APPROVAL_BOLETO_S: Quantiles = Quantiles([
    0, 0, 0, 1_490, 20_900, 34_400, 43_100, 49_300, 55_500, 60_700, 82_300, 107_000, 121_000, 137_000, 146_000,
    162_000, 211_000, 250_000, 309_000, 344_000, 441_000, 485_000, 611_000, 900_000,
]);
/// Seconds from purchase to approval, paid by voucher.
pub const APPROVAL_VOUCHER_S: Quantiles = Quantiles([
    0, 0, 373, 421, 492, 560, 611, 668, 715, 750, 851, 993, 1_210, 2_690, 7_460, 49_500, 86_100, 87_000, 167_000,
    201_000, 281_000, 373_000, 466_000, 740_000,
]);
/// Seconds from purchase to approval, paid by debit card.
pub const APPROVAL_DEBIT_CARD_S: Quantiles = Quantiles([
    0, 0, 401, 468, 504, 661, 745, 858, 1_040, 1_230, 2_520, 3_690, 4_800, 13_900, 45_300, 61_800, 76_600, 86_500,
    134_000, 173_000, 394_000, 413_000, 934_000, 934_000,
]);
/// Seconds from carrier to approval, where the approval was stamped after the parcel had left.
pub const APPROVAL_AFTER_CARRIER_S: Quantiles = Quantiles([
    71, 71, 93, 304, 807, 1_460, 2_630, 3_490, 4_810, 6_780, 11_100, 62_800, 74_800, 92_200, 98_800, 109_000, 179_000,
    219_000, 380_000, 608_000, 788_000, 807_000, 810_000, 810_000,
]);
/// Seconds from approval to carrier.
pub const HANDLING_S: Quantiles = Quantiles([
    129, 791, 7_170, 17_400, 28_400, 43_800, 58_200, 69_000, 79_700, 90_500, 119_000, 164_000, 216_000, 276_000,
    319_000, 363_000, 430_000, 519_000, 701_000, 1_040_000, 1_490_000, 1_820_000, 3_130_000, 8_800_000,
]);
/// Seconds from carrier to customer, by zone.
pub const TRANSIT_S: [Quantiles; ZONES] = [
    Quantiles([
        0, 29_400, 63_200, 74_100, 84_500, 97_100, 115_000, 167_000, 191_000, 250_000, 327_000, 416_000, 498_000,
        583_000, 614_000, 687_000, 788_000, 965_000, 1_260_000, 1_630_000, 2_090_000, 2_590_000, 4_410_000, 16_000_000,
    ]),
    Quantiles([
        0, 47_500, 89_400, 155_000, 249_000, 339_000, 427_000, 476_000, 523_000, 556_000, 619_000, 699_000, 846_000,
        1_020_000, 1_120_000, 1_220_000, 1_370_000, 1_660_000, 2_150_000, 2_760_000, 3_530_000, 4_310_000, 5_960_000,
        18_000_000,
    ]),
    Quantiles([
        31_400, 93_000, 269_000, 439_000, 524_000, 617_000, 690_000, 768_000, 844_000, 902_000, 1_050_000, 1_200_000,
        1_310_000, 1_560_000, 1_710_000, 1_830_000, 2_060_000, 2_350_000, 2_930_000, 3_380_000, 4_140_000, 4_820_000,
        9_040_000, 15_000_000,
    ]),
];
/// Days from the day of purchase to the estimated delivery, by zone.
pub const ESTIMATE_DAYS: [Quantiles; ZONES] = [
    Quantiles([3, 3, 6, 8, 10, 12, 13, 14, 15, 16, 18, 20, 21, 23, 24, 25, 27, 29, 33, 37, 43, 51, 61, 150]),
    Quantiles([4, 6, 11, 14, 16, 19, 21, 21, 22, 23, 24, 25, 27, 29, 30, 31, 33, 35, 39, 43, 50, 55, 68, 140]),
    Quantiles([8, 10, 17, 20, 21, 23, 25, 26, 27, 28, 30, 31, 33, 35, 35, 37, 38, 41, 45, 50, 60, 67, 88, 110]),
];
/// Seconds from approval to the shipping limit of the items.
pub const SHIPPING_LIMIT_S: Quantiles = Quantiles([
    86_400, 86_400, 172_000, 173_000, 259_000, 346_000, 346_000, 346_000, 432_000, 432_000, 518_000, 518_000, 518_000,
    518_000, 604_000, 605_000, 691_000, 778_000, 1_040_000, 1_210_000, 1_560_000, 1_730_000, 3_020_000, 4_000_000,
]);
/// Cents: price of an item.
pub const PRICE_CENTS: Quantiles = Quantiles([
    85, 306, 990, 1_360, 1_740, 2_390, 2_900, 3_490, 3_990, 4_760, 5_950, 7_490, 9_500, 12_000, 13_600, 15_400, 18_000,
    23_000, 34_900, 54_900, 85_500, 120_000, 206_000, 670_000,
]);
/// Freight of an item in cents, by zone.
pub const FREIGHT_CENTS: [Quantiles; ZONES] = [
    Quantiles([
        0, 0, 400, 739, 746, 778, 827, 888, 944, 1_100, 1_190, 1_300, 1_380, 1_520, 1_620, 1_730, 1_880, 2_200, 3_290,
        4_370, 6_330, 7_470, 11_800, 32_000,
    ]),
    Quantiles([
        0, 0, 514, 865, 1_180, 1_410, 1_450, 1_510, 1_510, 1_540, 1_620, 1_720, 1_820, 1_940, 2_090, 2_270, 2_560,
        3_050, 4_460, 5_870, 7_660, 9_800, 14_800, 38_000,
    ]),
    Quantiles([
        0, 0, 338, 1_340, 1_510, 1_620, 1_690, 1_770, 1_830, 1_940, 2_150, 2_470, 2_700, 3_170, 3_460, 3_790, 4_280,
        5_050, 6_750, 8_790, 13_300, 15_800, 24_900, 31_000,
    ]),
];
/// Characters of a product name.
pub const NAME_LENGTH: Quantiles =
    Quantiles([5, 12, 20, 24, 29, 33, 37, 40, 42, 44, 48, 51, 54, 56, 57, 58, 59, 59, 60, 60, 63, 63, 64, 76]);
/// Characters of a product description.
pub const DESCRIPTION_LENGTH: Quantiles = Quantiles([
    4, 41, 84, 115, 150, 207, 249, 294, 339, 385, 485, 595, 712, 870, 972, 1_120, 1_310, 1_580, 2_060, 2_560, 3_290,
    3_690, 3_920, 4_000,
]);
/// Photos of a product.
pub const PHOTOS: Quantiles = Quantiles([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 10, 13, 20]);
/// Weight of a product in grams.
pub const WEIGHT_G: Quantiles = Quantiles([
    0, 50, 60, 100, 105, 175, 200, 250, 300, 351, 500, 700, 1_000, 1_500, 1_900, 2_500, 3_800, 6_300, 10_800, 16_100,
    22_600, 28_500, 30_000, 40_000,
]);
/// Length of a product in centimetres.
pub const LENGTH_CM: Quantiles =
    Quantiles([7, 12, 16, 16, 16, 16, 16, 17, 18, 20, 21, 25, 30, 35, 38, 41, 46, 53, 65, 78, 100, 104, 105, 105]);
/// Height of a product in centimetres.
pub const HEIGHT_CM: Quantiles =
    Quantiles([2, 2, 2, 2, 3, 4, 5, 7, 8, 10, 11, 13, 16, 20, 21, 25, 29, 33, 44, 55, 69, 79, 102, 102]);
/// Width of a product in centimetres.
pub const WIDTH_CM: Quantiles =
    Quantiles([6, 10, 11, 11, 11, 11, 12, 14, 15, 15, 17, 20, 22, 27, 30, 32, 35, 40, 47, 55, 63, 70, 92, 120]);
