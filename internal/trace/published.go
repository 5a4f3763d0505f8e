package trace

// The published statistics that the generator is calibrated to. All are derived from the
// "Azure Functions Trace 2019" (Shahrad et al., Serverless in the Wild, USENIX ATC'20),
// (c) Microsoft, CC-BY 4.0 (https://github.com/Azure/AzurePublicDataset). Changes: apps were
// ranked and every 1.06th rank kept (the first 40 all); distribution functions were read at
// the points that stand here; names of apps were dropped.

// Of day 1 of the whole set.
const (
	// PublishedFunctions is the number of functions that were invoked.
	PublishedFunctions = 46412
	// PublishedApps is the number of apps that were invoked.
	PublishedApps = 17577
	// PublishedInvocations is the number of invocations of the day; 18.96 million in 30 minutes.
	PublishedInvocations = 910042048
)

// rankTotal is the number of invocations on day 1 of the app with a rank by them, from 0.
type rankTotal struct{ rank, total float64 }

var appTotals = [...]rankTotal{
	{0, 127471685}, {1, 91582836}, {2, 49036404}, {3, 46042729}, {4, 22457375}, {5, 20918946}, {6, 16743959},
	{7, 16362757}, {8, 15937352}, {9, 15808835}, {10, 14780372}, {11, 13682123}, {12, 12456908}, {13, 12149386},
	{14, 10832280}, {15, 10061731}, {16, 9836619}, {17, 9183138}, {18, 8055204}, {19, 6575908}, {20, 6493637},
	{21, 6167013}, {22, 6116767}, {23, 5957492}, {24, 5948757}, {25, 5903447}, {26, 5329211}, {27, 4865744},
	{28, 4682880}, {29, 4496625}, {30, 4377120}, {31, 4076684}, {32, 4017021}, {33, 4011171}, {34, 4006496},
	{35, 3977498}, {36, 3813705}, {37, 3810297}, {38, 3695169}, {39, 3551797}, {40, 3498487}, {42, 3291886},
	{44, 2670790}, {46, 2638851}, {48, 2463294}, {50, 2282262}, {53, 2176141}, {56, 2115623}, {59, 1989866},
	{62, 1676660}, {65, 1659130}, {68, 1610608}, {72, 1536385}, {76, 1444309}, {80, 1367905}, {84, 1265229},
	{89, 1245993}, {94, 1213994}, {99, 1127632}, {104, 1071986}, {110, 1006155}, {116, 953380}, {122, 855866},
	{129, 789270}, {136, 739123}, {144, 687646}, {152, 633139}, {161, 573041}, {170, 520027}, {180, 477646},
	{190, 445000}, {201, 407538}, {213, 369922}, {225, 352118}, {238, 332475}, {252, 309409}, {267, 286352},
	{283, 262840}, {299, 244435}, {316, 224552}, {334, 191990}, {354, 173567}, {375, 152443}, {397, 139259},
	{420, 125816}, {445, 112833}, {471, 101995}, {499, 92103}, {528, 86400}, {559, 86107}, {592, 80907},
	{627, 71480}, {664, 63316}, {703, 56486}, {745, 51359}, {789, 45124}, {836, 40226}, {886, 35538},
	{939, 31613}, {995, 27360}, {1054, 23666}, {1117, 20581}, {1184, 17905}, {1255, 17205}, {1330, 14904},
	{1409, 13166}, {1493, 11520}, {1582, 10193}, {1676, 8934}, {1776, 8374}, {1882, 7142}, {1994, 6058},
	{2113, 5612}, {2239, 4642}, {2373, 4167}, {2515, 3471}, {2665, 3032}, {2824, 2875}, {2993, 2529},
	{3172, 2098}, {3362, 1738}, {3563, 1591}, {3776, 1445}, {4002, 1440}, {4242, 1440}, {4496, 1264},
	{4765, 987}, {5050, 793}, {5353, 704}, {5674, 576}, {6014, 481}, {6374, 480}, {6756, 439}, {7161, 360},
	{7590, 296}, {8045, 288}, {8527, 288}, {9038, 260}, {9580, 164}, {10154, 116}, {10763, 85}, {11408, 48},
	{12092, 28}, {12817, 21}, {13586, 10}, {14401, 5}, {15265, 2}, {16180, 1}, {17150, 1}, {17576, 1},
}

// point is a value and the share of the population that is at or below it.
type point struct{ value, share float64 }

// functionsPerApp is the distribution of the number of functions of an app.
var functionsPerApp = [...]point{
	{1, 0.503252}, {2, 0.72372}, {3, 0.819163}, {4, 0.870478}, {5, 0.905496}, {6, 0.927183}, {7, 0.94183},
	{8, 0.951454}, {9, 0.960489}, {10, 0.967455}, {11, 0.972211}, {12, 0.976675}, {13, 0.979983},
	{14, 0.982489}, {15, 0.984349}, {16, 0.986229}, {17, 0.987554}, {18, 0.988722}, {19, 0.989846},
	{20, 0.990998}, {25, 0.994631}, {31, 0.996643}, {37, 0.997733}, {43, 0.998309}, {49, 0.998576},
	{55, 0.998976}, {61, 0.999342}, {67, 0.999523}, {73, 0.999626}, {81, 0.999683}, {95, 0.999741},
	{108, 0.99979}, {124, 0.999819}, {144, 0.999856}, {154, 0.999926}, {236, 0.999951}, {286, 0.999979},
	{298, 1},
}

// appVariation is the coefficient of variation of an app's inter-arrival times, at the
// shares 0, 1/40, 2/40 ... 1 of apps (14 days).
var appVariation = [...]float64{
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.02104, 0.04501, 0.07103, 0.105, 0.134, 0.186, 0.246, 0.319, 0.38, 0.454,
	0.5231, 0.626, 0.749, 0.8331, 0.938, 1.027, 1.172, 1.354, 1.531, 1.735, 1.967, 2.218, 2.519, 2.903, 3.379,
	4.018, 4.986, 6.478, 9.192, 16.01, 1448,
}

// hourlyVolume is the volume of each hour of the day over the mean of the day.
var hourlyVolume = [24]float64{
	.936, .919, .918, .914, .913, .947, .973, 1.007, 1.001, 1.006, 1.007, 1.010,
	1.045, 1.088, 1.088, 1.071, 1.050, 1.071, 1.079, 1.035, 1.011, .999, .973, .940,
}

// triggerShares are the shares of functions and of invocations by trigger.
var triggerShares = [triggerCount]struct{ functions, invocations float64 }{
	TriggerHTTP:          {.433, .225},
	TriggerQueue:         {.151, .424},
	TriggerEvent:         {.026, .309},
	TriggerOrchestration: {.082, .014},
	TriggerTimer:         {.285, .018},
	TriggerStorage:       {.023, .008},
	TriggerOthers:        {.057, .001},
}

// Execution times: the average of a function is lognormal (parameters of ln seconds), its rank
// goes down with the rank of the function's count, and weighted by counts the mean of the
// averages is what the 500-function sample of day 1 has.
const (
	durationLogMean     = -0.38
	durationLogSigma    = 2.36
	durationCountRank   = -0.34 // Spearman
	durationWeighedMean = 387.0 // ms
)

// Memory of an app is Burr distributed (type XII; lambda in MB).
const (
	memoryBurrC      = 11.652
	memoryBurrK      = 0.221
	memoryBurrLambda = 107.083
)

// typicalMemoryMB is the median of the released apps' memory: what stands in where a trace says nothing.
const typicalMemoryMB = 140
